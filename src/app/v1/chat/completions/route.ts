import { toNextRoute } from '@/api/next-route';
import { chatCompletions } from '@/api/openai/chat-completions';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(chatCompletions);
