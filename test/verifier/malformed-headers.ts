/**
 * Headers that no codec may accept, by name, with what the codec whose they nearly are says of each. What one product
 * sends and another does not is not here: see `certificate-header.test.ts`.
 */
import { malformedBase64Der } from './malformed/base64-der.ts';
import { malformedClientCert } from './malformed/client-cert.ts';
import { malformedEscapedPem } from './malformed/escaped-pem.ts';
import type { MalformedHeader } from './malformed/material.ts';
import { malformedXfcc } from './malformed/xfcc.ts';

export const malformedHeaders: readonly MalformedHeader[] = [
  ...malformedEscapedPem,
  ...malformedBase64Der,
  ...malformedXfcc,
  ...malformedClientCert,
];
