import type { Metadata, Viewport } from 'next';
import type { ReactNode } from 'react';
import { pageLanguage } from '@/console/language';
import './globals.css';

export const metadata: Metadata = {
  title: 'Business Gemini Pool',
  robots: { index: false, follow: false },
};

export const viewport: Viewport = { colorScheme: 'light dark' };

export default async function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang={await pageLanguage()}>
      <body>{children}</body>
    </html>
  );
}
