import type { AuthorizationServer } from '../../api/authorization-server.ts';

/** Whether the client configuration endpoint of a server takes a method (RFC 7592 §2), as far as the platform says. */
export function configurable(
  server: Pick<AuthorizationServer, 'spec'> | undefined,
  method: 'GET' | 'PUT' | 'DELETE',
): boolean {
  return server?.spec.dynamicRegistration?.configurationMethods?.includes(method) ?? true;
}
