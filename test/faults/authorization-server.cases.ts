import { conditionCases } from './authorization-server-conditions.ts';
import { authorizationServerFaults } from './authorization-server-faults.ts';
import { startServerFaultWorld } from './authorization-server-world.ts';
import { faultSuite } from './suite.ts';

faultSuite(authorizationServerFaults, startServerFaultWorld, conditionCases);
