import { clientCrashes } from './client-crashes.ts';
import { creations, removals } from './platform-crashes.ts';
import { crashSuite } from './crash-suite.ts';

const named = (name: string) => clientCrashes.filter((scenario) => scenario.name.startsWith(name));

crashSuite([
  { what: 'clients are created', scenarios: named('creation') },
  { what: 'the scope of clients is changed', scenarios: named('change') },
  { what: 'certificates are renewed, and the old ones retired', scenarios: named('rotation') },
  { what: 'clients are deleted', scenarios: named('deletion') },
  { what: 'issuers, servers and opted-in hosts are made', scenarios: creations },
  { what: 'issuers and servers are deleted, and hosts opt out', scenarios: removals },
]);
