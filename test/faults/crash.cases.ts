import { clientCrashes } from './client-crashes.ts';
import { creations, removals } from './platform-crashes.ts';
import { crashSuite } from './crash-suite.ts';

const named = (name: string) => clientCrashes.filter((scenario) => scenario.name.startsWith(name));

crashSuite([
  { what: 'clients are created', scenarios: named('creation') },
  { what: 'certificates are renewed, and the old ones retired', scenarios: named('rotation') },
  {
    what: 'the scope of clients is changed, and others are deleted',
    scenarios: [...named('change'), ...named('deletion')],
  },
  { what: 'the platform takes back what clients are registered for', scenarios: named('withdrawal') },
  {
    what: 'issuers and servers are made and deleted, hosts opt in and out',
    scenarios: [...creations, ...removals],
  },
]);
