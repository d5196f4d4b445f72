import type { components } from "./api.js";

/** What a webhook receives. */
export type WebhookPayload = components["schemas"]["WebhookEvent"];

/** A request that is not a delivery of the webhook with this secret. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
}

export interface VerifyOptions {
  /** How far the time of a delivery may be from now, in seconds, so that nobody can send it again later; 5 minutes by default. */
  tolerance?: number;
  /** Now, in milliseconds since 1970. */
  now?: number;
}

type HeaderValues = Headers | Record<string, string | string[] | undefined>;

/**
 * Checks that a request is a delivery (<https://www.standardwebhooks.com>) and returns its payload. `body` is the body as it
 * was received: JSON that was parsed and printed again has other bytes. A delivery may arrive twice: `webhook-id` stays the same.
 */
export async function verifyWebhook(
  secret: string,
  headers: HeaderValues,
  body: string | Uint8Array,
  { tolerance = 300, now = Date.now() }: VerifyOptions = {},
): Promise<WebhookPayload> {
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => {
    const value = headers instanceof Headers ? headers.get(name) : headers[name];
    if (typeof value !== "string") throw new WebhookError(`The header ${name} is missing.`);
    return value;
  }) as [string, string, string];
  if (!/^\d+$/.test(timestamp) || Math.abs(now / 1000 - Number(timestamp)) > tolerance) {
    throw new WebhookError("The delivery is too old, or one of the clocks is wrong.");
  }
  const text = typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  const content = new TextEncoder().encode(`${id}.${timestamp}.${text}`);
  const bytes = base64(secret.replace(/^whsec_/, ""));
  if (!bytes) throw new WebhookError("The secret is not one of a webhook.");
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  // While a secret is replaced, there is a signature for each.
  for (const signature of signatures.split(" ")) {
    const mac = signature.startsWith("v1,") && base64(signature.slice(3));
    if (mac && (await crypto.subtle.verify("HMAC", key, mac, content))) return JSON.parse(text) as WebhookPayload;
  }
  throw new WebhookError("No signature is of this secret.");
}

function base64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
