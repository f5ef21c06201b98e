import { callFaults } from './call-faults.ts';
import { faultSuite } from './suite.ts';
import { undisturbed } from './undisturbed.ts';
import { watchFaults } from './watch-faults.ts';

faultSuite([undisturbed, ...watchFaults, ...callFaults]);
