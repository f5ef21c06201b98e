import { z } from 'zod';
import { exactlyOne, rules, secretKeyRef } from './fields.ts';

/** Of one client they are the OAuthClient's, the operator's or the server's; keys never come from anywhere else. */
const decidedElsewhere = [
  'client_id',
  'client_id_issued_at',
  'client_name',
  'client_secret',
  'client_secret_expires_at',
  'grant_types',
  'jwks',
  'jwks_uri',
  'redirect_uris',
  'registration_access_token',
  'registration_client_uri',
  'request_uris',
  'response_types',
  'scope',
  'sector_identifier_uri',
  'software_statement',
  'token_endpoint_auth_method',
];

const metadataMember = z
  .object({
    name: z
      .string()
      .min(1)
      .max(128)
      .regex(/^[a-z][a-z0-9_]*(#[A-Za-z0-9-]+)?$/)
      .meta({ description: 'Name of the member, as RFC 7591 §2 or the server has it, e.g. tos_uri.' }),
    value: z.string().min(1).max(2048).meta({ description: 'A string.' }).optional(),
    values: z
      .array(z.string().min(1).max(2048))
      .max(32)
      .meta({ description: 'A list of strings.', 'x-kubernetes-list-type': 'atomic' })
      .optional(),
    flag: z.boolean().meta({ description: 'true or false.' }).optional(),
  })
  .meta({
    description: 'One member of the client metadata.',
    ...rules(exactlyOne(['value', 'values', 'flag'], 'Write exactly one of value, values and flag.'), {
      rule: `!self.name.startsWith('tls_client_') && !(self.name.split('#')[0] in ${JSON.stringify(decidedElsewhere).replaceAll('"', "'")})`,
      message:
        'This member is not the platform’s to set for all clients: leave it out. Keys, identity and authentication come from the operator, ' +
        'grant_types, response_types, redirect_uris, scope and client_name from each OAuthClient, software_statement from softwareStatementSecretRef.',
    }),
  });

const configurationMethod = z.enum(['GET', 'PUT', 'DELETE']);

export const dynamicRegistration = z
  .object({
    initialAccessTokenSecretRef: secretKeyRef(
      'The initial access token (RFC 7591 §1.2), where the server wants one. It is read anew for each registration: one that is good for ' +
        'a single one is replaced in its Secret before the next.',
    ).optional(),
    softwareStatementSecretRef: secretKeyRef(
      'The software statement (RFC 7591 §2.3), a signed JWT, that goes with every registration. Its claims come before what is asked for otherwise.',
    ).optional(),
    metadata: z
      .array(metadataMember)
      .max(32)
      .meta({
        description:
          'Further client metadata (RFC 7591 §2) that every client here is registered with, such as software_id, tos_uri or ' +
          'id_token_signed_response_alg. Default: none.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      })
      .optional(),
    emptyLists: z
      .enum(['Send', 'Omit'])
      .meta({
        description:
          'Whether lists without an entry are sent, such as the response_types and redirect_uris of a client without authorization_code. ' +
          'Send (default): RFC 7591 §2 takes an absent list for the default one. Omit: for servers that refuse them, such as Spring Authorization Server.',
      })
      .optional(),
    configurationMethods: z
      .array(configurationMethod)
      .max(3)
      .meta({
        description:
          'What the client configuration endpoint (RFC 7592 §2) takes. Default: GET, PUT and DELETE. Without PUT a registration never changes; ' +
          'without DELETE it is left behind when its OAuthClient is deleted. Leave GET out where a read replaces the registration access token. ' +
          'Spring Authorization Server: [GET].',
        'x-kubernetes-list-type': 'set',
      })
      .optional(),
    clientKeys: z
      .enum(['jwks', 'jwks_uri'])
      .meta({
        description:
          'How the server learns the keys of self_signed_tls_client_auth clients (RFC 7591 §2): jwks (default) registers them, so that ' +
          'each rotation updates the registration; with jwks_uri it reads them from the operator, so that none does: for servers that ' +
          'replace the registration access token on update.',
      })
      .optional(),
  })
  .meta({
    description:
      'Registers by RFC 7591 and manages by RFC 7592 at the registration_endpoint of the discovery document.',
  });
export type DynamicRegistration = z.infer<typeof dynamicRegistration>;
