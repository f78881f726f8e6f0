/** Makes a bucket, with the credentials of the environment: node --import tsx scripts/remote/make-bucket.ts URL */
import { AwsClient } from 'aws4fetch';

const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
const client = new AwsClient({
  accessKeyId: AWS_ACCESS_KEY_ID,
  secretAccessKey: AWS_SECRET_ACCESS_KEY,
  service: 's3',
  region: 'us-east-1',
});
const { status } = await client.fetch(process.argv[2] ?? '', { method: 'PUT' });
if (status !== 200) throw new Error(`the bucket was not made: ${status}`);
