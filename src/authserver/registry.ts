import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { RegistrationDriver } from './driver.ts';

/** Undefined where the spec names no driver that this version has. */
export declare function driverFor(server: Pick<AuthorizationServer, 'spec'>): RegistrationDriver | undefined;
