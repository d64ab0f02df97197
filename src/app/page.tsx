import { headers } from 'next/headers';
import { pageLanguage } from '@/console/language';
import { Welcome } from '@/console/welcome/welcome';

export default async function Page() {
  const host = (await headers()).get('host') ?? '127.0.0.1:8000';
  return <Welcome origin={`http://${host}`} language={await pageLanguage()} />;
}
