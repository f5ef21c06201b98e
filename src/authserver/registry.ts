import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { RegistrationDriver } from './driver.ts';
import { dynamicRegistration } from './registration/dynamic-registration.ts';
import { keycloak } from './keycloak/keycloak.ts';

/** Undefined where the spec names no driver that this version has. */
export function driverFor(server: Pick<AuthorizationServer, 'spec'>): RegistrationDriver | undefined {
  if (server.spec.keycloak !== undefined) return keycloak;
  return server.spec.dynamicRegistration === undefined ? undefined : dynamicRegistration;
}
