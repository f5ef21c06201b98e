/** Hears every secret that an installation makes: from each version of each Secret, and from the server's answers. */
import { z } from 'zod';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { secretValues } from '../support/application.ts';
import type { FaultAction, ReceivedRequest } from '../support/fault.ts';
import { Canaries } from './canaries.ts';

/** Given with every registration, though no client with a certificate needs one. */
const CLIENT_SECRET = 'client-secret-that-nobody-asked-for';

export const canaries = new Canaries();
canaries.add('client_secret', CLIENT_SECRET);

/** Tokens as the server last answered them. */
export const last = { registrationAccessToken: '', accessToken: '' };

/** The decoded values of a Secret, which may be empty. */
export function valuesOf(object: KubernetesObject): Record<string, string> {
  return secretValues({ ...object, data: object['data'] ?? {} });
}

const material = z.object({
  registration: z
    .object({
      registrationAccessToken: z.string().optional(),
      previousRegistrationAccessToken: z.string().optional(),
    })
    .optional(),
});

/** Every version of every Secret. */
export function collect(object: KubernetesObject): object {
  for (const text of Object.values(valuesOf(object))) {
    canaries.addKeys(object.metadata.name.startsWith('certbound-ca-') ? 'CA key' : 'private key', text);
  }
  const text = valuesOf(object)['material'] ?? '{}';
  const stored = material.safeParse(safeJson(text)).data?.registration;
  const tokens = [stored?.registrationAccessToken, stored?.previousRegistrationAccessToken];
  for (const token of tokens) if (token !== undefined) canaries.add('registration access token', token);
  return {};
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** What the server answers when nothing else is wrong: heard, and given a client_secret that nobody needs. */
export const hearing = ({ method, route }: ReceivedRequest): FaultAction | undefined => {
  if (route === '/token') return { kind: 'rewrite', body: heardToken };
  return route.startsWith('/reg') && method !== 'DELETE' ? { kind: 'rewrite', body: heardRegistration } : undefined;
};

function heardToken(body: Readonly<Record<string, unknown>>): unknown {
  if (typeof body['access_token'] === 'string') {
    last.accessToken = body['access_token'];
    canaries.addJwt('access token', last.accessToken);
  }
  return body;
}

export function heardRegistration(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const token = body['registration_access_token'];
  if (typeof token === 'string') {
    last.registrationAccessToken = token;
    canaries.add('registration access token', token);
  }
  return { ...body, client_secret: CLIENT_SECRET, client_secret_expires_at: 0 };
}
