/**
 * A server that receives webhooks at `SOUK_TEST_RECEIVER` (`127.0.0.1:PORT`), which the host under test may call. Its URL
 * has a path of its own, since webhooks of earlier suites may still be retried at the same address.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { text } from "node:stream/consumers";

export interface Receiver {
  url: string;
  deliveries: { headers: IncomingHttpHeaders; body: string }[];
  close(): void;
}

export async function receiver(): Promise<Receiver | undefined> {
  const address = process.env["SOUK_TEST_RECEIVER"];
  if (!address) return undefined;
  const path = `/${randomUUID()}`;
  const deliveries: Receiver["deliveries"] = [];
  const server = createServer(async (request, response) => {
    const { headers, url } = request;
    const body = await text(request);
    if (url !== path) {
      response.writeHead(404).end();
      return;
    }
    const challenge = headers["webhook-challenge"];
    if (challenge === undefined) deliveries.push({ headers, body });
    response.end(challenge);
  });
  const [host, port] = address.split(":");
  server.listen(Number(port), host);
  await once(server, "listening");
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://${address}${path}`, deliveries, close };
}
