import { clusterFaults } from './cluster-faults.ts';
import { credentialFaults } from './credential-faults.ts';
import { rivalFaults } from './rival-faults.ts';
import { serverFaults } from './server-faults.ts';
import { faultSuite } from './suite.ts';

faultSuite([...rivalFaults, ...credentialFaults, ...serverFaults, ...clusterFaults]);
