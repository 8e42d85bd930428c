// A complete ExternalGraphSecurity worker: node:http and jose.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import { type Claims, type Element, verdict } from "./policy.js";
import { member, parts, skip } from "./text.js";

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};
const uuid = need("WORKER_UUID");
const issuer = need("ISSUER");
const audience = need("AUDIENCE"); // forward: the gateway's ("muster"); exchange: this worker's own
const maxBody = Number(process.env.MAX_BODY ?? 64 << 20);
const path = "/api/filter";
const info = JSON.stringify({ class: "result", type: "ExternalGraphSecurity", uuid, version: "1.0.0" });

/** An answer that is no verdict: a status and the contract's error body. */
class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, description: string) {
    super(description);
  }
}

// --- who is asking ---------------------------------------------------------------

type Keys = ReturnType<typeof createRemoteJWKSet>;
let keys: Promise<Keys> | undefined;

async function discover(): Promise<Keys> {
  const answer = await fetch(`${issuer}/.well-known/openid-configuration`, { signal: AbortSignal.timeout(5000), redirect: "error" });
  if (!answer.ok) throw new Error(`the issuer answered ${answer.status}`);
  const { jwks_uri: uri } = (await answer.json()) as { jwks_uri: string };
  return createRemoteJWKSet(new URL(uri), { cacheMaxAge: 300_000, cooldownDuration: 1000 });
}

async function principal(request: IncomingMessage): Promise<Claims> {
  const headers = request.headersDistinct.authorization ?? [];
  const token = headers.length === 1 ? /^bearer +(\S+)$/i.exec(headers[0]!)?.[1] : undefined;
  if (!token) throw new Refusal(401, "invalid_token", "one Authorization header with a bearer token is needed");
  let set: Keys;
  try {
    set = await (keys ??= discover());
  } catch {
    keys = undefined;
    throw new Refusal(503, "identity_unavailable", "the issuer's keys cannot be had");
  }
  try {
    const { payload, protectedHeader } = await jwtVerify(token, set, {
      issuer, audience, algorithms: ["RS256", "ES256"], requiredClaims: ["exp"],
    });
    if (protectedHeader.typ?.toLowerCase() !== "at+jwt" && payload.typ !== "Bearer") throw new errors.JWTInvalid("this is no access token");
    return payload as Claims;
  } catch (problem) {
    if (problem instanceof errors.JOSEError && problem.code !== "ERR_JWKS_TIMEOUT" && problem.code !== "ERR_JOSE_GENERIC") {
      throw new Refusal(401, "invalid_token", `the token is not good: ${problem.message}`);
    }
    throw new Refusal(503, "identity_unavailable", "the issuer's keys cannot be had");
  }
}

// --- what is asked ---------------------------------------------------------------

async function read(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBody) throw new Refusal(413, "too_large", `at most ${maxBody} bytes are taken`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function filter(claims: Claims, body: Buffer): string {
  let kind: string;
  const shown: string[] = [];
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    const request = JSON.parse(text) as { parameters: { type: string }; data: Element[] };
    kind = request.parameters.type;
    const data = member(text, skip(text, 0), "data");
    if ((kind !== "nodes" && kind !== "relationships") || !data || !Array.isArray(request.data)) throw new Error("not a filter request");
    let i = 0;
    for (const { begin, end } of parts(text, data.begin)) {
      const element = request.data[i++]!;
      if (typeof element.elementId !== "string" || !element.properties) throw new Error("not an element");
      const strip = verdict(claims, element);
      if (strip) shown.push(show(text.slice(begin, end), strip));
    }
  } catch {
    throw new Refusal(400, "invalid_request", "the body is not a filter request of the contract");
  }
  return `{"result":{"${kind}":[${shown.join(",")}]}}`;
}

/** An element's text without some properties. */
function show(text: string, strip: string[]): string {
  if (strip.length === 0) return text;
  const properties = member(text, 0, "properties")!;
  const kept: string[] = [];
  let last = properties.begin + 1;
  for (const { name, end } of parts(text, properties.begin)) {
    if (!strip.includes(name!)) kept.push(text.slice(last, end).replace(/^[\s,]+/, ""));
    last = end;
  }
  return `${text.slice(0, properties.begin)}{${kept.join(",")}}${text.slice(properties.end)}`;
}

// --- HTTP ------------------------------------------------------------------------

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, {
    "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), "Cache-Control": "no-store", ...headers,
  });
  response.end(body);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "GET" && request.url === "/") return send(response, 200, info);
  if (request.method === "GET" && (request.url === "/livez" || request.url === "/readyz")) return send(response, 200, '{"status":"ok"}');
  if (request.method !== "POST" || request.url !== path) throw new Refusal(404, "not_found", `elements are posted to ${path}`);
  const body = await read(request);
  const claims = await principal(request);
  if ((request.headers["content-encoding"] ?? "identity") !== "identity") throw new Refusal(415, "unsupported_media_type", "the body must not be compressed");
  if (!/^application\/json *(;|$)/i.test(request.headers["content-type"] ?? "")) throw new Refusal(415, "unsupported_media_type", "Content-Type must be application/json");
  send(response, 200, filter(claims, body));
}

const server = createServer((request, response) => {
  answer(request, response).catch((problem: unknown) => {
    if (request.destroyed && !request.complete) return; // the caller went away
    const refusal = problem instanceof Refusal ? problem : new Refusal(500, "internal", "the worker failed; its log has the reason");
    if (refusal.status === 500) console.error(problem instanceof Error ? problem.stack : "unknown problem");
    send(response, refusal.status, JSON.stringify({ description: refusal.message, error: refusal.code }), {
      ...(refusal.status === 401 && { "WWW-Authenticate": 'Bearer error="invalid_token"' }),
      ...(refusal.status === 413 && { Connection: "close" }),
    });
  });
});
server.requestTimeout = 60_000;
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST, () => {
  const { address, port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ listening: { http: `${address}:${port}` } }));
});
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    server.close(() => process.exit(0)); // idle connections end, requests in flight are finished
    setTimeout(() => process.exit(1), 25_000).unref();
  });
}
