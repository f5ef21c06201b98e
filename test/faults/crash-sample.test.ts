/** A few places, by chance, of those at which `npm run test:faults` kills the operator. */
import { clientCrashes } from './client-crashes.ts';
import { crashSample } from './crash-suite.ts';

crashSample(clientCrashes, 4);
