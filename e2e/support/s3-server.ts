import S3rver from 's3rver';
import { newFolder } from './data-folder';

/** A running S3-speaking server with one empty bucket. */
export interface S3Server {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  close(): Promise<void>;
}

/** Starts one on 127.0.0.1, which keeps its objects in a folder of the test run. */
export async function startS3(): Promise<S3Server> {
  const bucket = 'media';
  const server = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory: newFolder('s3'),
    configureBuckets: [{ name: bucket }],
  });
  const { port } = await server.run();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    // The only key that it knows.
    accessKeyId: 'S3RVER',
    secretAccessKey: 'S3RVER',
    async close() {
      const closed = server.close();
      server.httpServer.closeAllConnections();
      await closed;
    },
  };
}
