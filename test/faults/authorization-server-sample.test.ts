import { authorizationServerFaults } from './authorization-server-faults.ts';
import { startServerFaultWorld } from './authorization-server-world.ts';
import { faultSuite } from './suite.ts';

const SAMPLE = ['update reset'];

faultSuite(
  authorizationServerFaults.filter(({ name }) => SAMPLE.includes(name)),
  startServerFaultWorld,
);
