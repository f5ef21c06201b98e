/** A quick sample of what `npm run test:faults` runs. */
import { callFaults } from './call-faults.ts';
import { rivalFaults } from './rival-faults.ts';
import { faultSuite } from './suite.ts';
import { watchFaults } from './watch-faults.ts';

const SAMPLE = ['watch 410', 'lost records', 'rival record'];

faultSuite([...watchFaults, ...callFaults, ...rivalFaults].filter(({ name }) => SAMPLE.includes(name)));
