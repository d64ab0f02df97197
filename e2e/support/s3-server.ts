import S3rver from 's3rver';
import { newFolder } from './data-folder';

/** A running S3-speaking server with one empty bucket. */
export interface S3Server {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Where it keeps its objects, in a folder for each bucket. */
  directory: string;
  close(): Promise<void>;
}

/** Starts one on 127.0.0.1, which keeps its objects in a folder of the test run. */
export async function startS3(): Promise<S3Server> {
  const [bucket, directory] = ['media', newFolder('s3')];
  const server = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory,
    configureBuckets: [{ name: bucket }],
  });
  const { port } = await server.run();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    // The only key that it knows.
    accessKeyId: 'S3RVER',
    secretAccessKey: 'S3RVER',
    directory,
    async close() {
      const closed = server.close();
      server.httpServer.closeAllConnections();
      await closed;
    },
  };
}
