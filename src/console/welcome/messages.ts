import type { Language } from '@/console/language';

const en = {
  lead: 'One OpenAI-compatible service in front of your Google Gemini Business seats.',
  running: 'The server is running.',
  baseUrl: 'Base URL for OpenAI clients',
  next: 'Next',
  importAccounts: 'Take your accounts in',
  createKey: 'Make an API key; it is shown once',
  chat: 'Chat',
  later: 'The console comes to this page later. Until then, the commands above steer the server.',
};

const zh: typeof en = {
  lead: '把你的多个 Google Gemini Business 席位合成一个兼容 OpenAI 的服务。',
  running: '服务正在运行。',
  baseUrl: 'OpenAI 客户端的 Base URL',
  next: '接下来',
  importAccounts: '导入账号',
  createKey: '创建 API 密钥（只显示一次）',
  chat: '对话',
  later: '控制台以后会出现在这个页面。在此之前，请用上面的命令管理服务。',
};

/** The words of the welcome page. */
export const messages: Record<Language, typeof en> = { en, zh };
