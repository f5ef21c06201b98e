/** An OAuthClient's life, and what it must have come to whenever the operator died. */
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import type { TestClient } from '../support/oauth-client.ts';
import { ClientSubject, type ClientOutcome, type ClientScenario } from './client-subject.ts';
import type { CrashScenario } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';

const READ = 'accounts:read';
const WRITE = 'accounts:read accounts:write';
/** As short as it may be, so that the end of the drain is seen too. */
const certificate = { drain: '1s' };

/** Granted to it alone, by a field manager of its own: others go on as they were. */
const redirectUriOf = ({ ref }: TestClient) => `https://${ref.name}.example.test/callback`;

async function grant({ installation }: CrashWorld, client: TestClient, redirectURIs: string[]): Promise<void> {
  const object = {
    apiVersion: 'certbound.dev/v1alpha1',
    kind: authorizationServers.kind,
    metadata: { name: client.server },
    spec: { clients: { redirectURIs } },
  };
  await installation.kube.apply(authorizationServers, object, { fieldManager: client.ref.name, force: true });
}

const prepared = async (client: TestClient) => {
  await client.apply({ scope: READ, certificate });
  await client.ready(120_000);
};

const isReady = (outcome: ClientOutcome | 'gone'): outcome is ClientOutcome =>
  outcome !== 'gone' && outcome.conditions.some((each) => each.startsWith('Ready=True'));

const scenarios: readonly ClientScenario[] = [
  {
    name: 'creation',
    what: 'a client is created',
    prepare: () => Promise.resolve(),
    begin: (client) => client.apply({ scope: READ, certificate }),
    certificates: 1,
    over: isReady,
  },
  {
    name: 'change',
    what: 'a client’s scope is changed',
    prepare: prepared,
    begin: (client) => client.apply({ scope: WRITE, certificate }),
    certificates: 1,
    over: (outcome) => isReady(outcome) && outcome.scope === WRITE,
  },
  {
    name: 'rotation',
    what: 'a client’s certificate is renewed, and the old one retired',
    prepare: prepared,
    begin: (client) => client.annotate({ [RENEW_REQUESTED]: 'now' }),
    certificates: 2,
    // The Secret is written before status says so.
    over: (outcome) => isReady(outcome) && outcome.renewed && outcome.roles.length === 1 && outcome.phase === 'Settled',
  },
  {
    name: 'deletion',
    what: 'a client is deleted',
    prepare: prepared,
    begin: (client) => client.delete(),
    ends: 'deleted',
    certificates: 1,
    over: (outcome) => outcome === 'gone',
  },
  {
    name: 'withdrawal',
    what: 'the platform takes back what a client is registered for',
    prepare: async (client, world) => {
      await grant(world, client, [redirectUriOf(client)]);
      await client.apply({ scope: READ, certificate, redirectURIs: [redirectUriOf(client)] });
      await client.ready(120_000);
    },
    begin: (client, world) => grant(world, client, []),
    ends: 'withdrawn',
    certificates: 1,
    over: (outcome) => outcome !== 'gone' && outcome.conditions.includes('Registered=False/NotGranted'),
  },
];

const isOutcome = (outcome: unknown): outcome is ClientOutcome | 'gone' =>
  outcome === 'gone' || (typeof outcome === 'object' && outcome !== null && 'conditions' in outcome);

function scenarioOf(method: AuthMethod, scenario: ClientScenario): CrashScenario {
  return {
    name: `${scenario.name}-${method === 'tls_client_auth' ? 'tls' : 'self'}`,
    what: `${scenario.what} (\`${method}\`)`,
    subject: (world, name) => new ClientSubject(world, method, scenario, name),
    over: (outcome) => isOutcome(outcome) && scenario.over(outcome),
  };
}

const methods: readonly AuthMethod[] = ['tls_client_auth', 'self_signed_tls_client_auth'];

/** One of each method, that is about to be created. */
export function newcomers(world: CrashWorld): ClientSubject[] {
  const [creation] = scenarios;
  if (creation === undefined) throw new Error('no scenario');
  return methods.map((method) => new ClientSubject(world, method, creation, world.nextName('newcomer')));
}

export const clientCrashes: readonly CrashScenario[] = scenarios.flatMap((scenario) =>
  methods.map((method) => scenarioOf(method, scenario)),
);
