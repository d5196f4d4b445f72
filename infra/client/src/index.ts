/** A typed client of Souk. */
export type { components, paths } from "./api.js";
export { type SignedUp, Souk, type SoukOptions } from "./client.js";
export { type FieldError, type Problem, SoukError } from "./problem.js";
export type { RetryOptions } from "./retry.js";
export { BrowserStorage, MemoryStorage, type Session, type SessionStorage } from "./session.js";
export type { Arguments, Data, Draft, EditPath, Item, ListPath, Options, Shown } from "./types.js";
export { type VerifyOptions, verifyWebhook, WebhookError, type WebhookPayload } from "./webhooks.js";
