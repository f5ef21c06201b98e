import { lifecycleSuite } from './lifecycle.ts';

lifecycleSuite('tls_client_auth');
