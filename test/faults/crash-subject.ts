/** Whom a crash befalls. */
import type { ApiRequest } from '../support/api-request.ts';
import type { ClientCredentials } from '../support/application.ts';
import type { CrashWorld } from './crash-world.ts';

export interface CrashSubject {
  readonly name: string;
  /** As its passes are told. */
  readonly kind: string;
  readonly key: string;
  /** What its registration is found by at the authorization server. */
  readonly marker?: string;
  /** Until what is to be disturbed can begin. */
  prepare(): Promise<void>;
  begin(): Promise<void>;
  /** Whether a request to the API server is about what it is made of. */
  owns(request: ApiRequest): boolean;
  /** The operator is dead. */
  died(): Promise<void>;
  /** What has come of it, to be compared with the undisturbed run; throws where something is still to be done. */
  outcome(): Promise<unknown>;
  /** What holds in the end besides. */
  verify(): Promise<void>;
  /** What an application reads now, and must be able to use; undefined where nothing has to be published. */
  credentials?(): Promise<ClientCredentials | undefined>;
  remove(): Promise<void>;
}

export interface CrashScenario {
  /** A word or two. */
  name: string;
  /** For people. */
  what: string;
  subject(world: CrashWorld, name: string): CrashSubject | Promise<CrashSubject>;
  /** Whether the undisturbed run is over. */
  over(outcome: unknown): boolean;
}
