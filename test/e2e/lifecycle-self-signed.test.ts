import { lifecycleSuite } from './lifecycle.ts';

lifecycleSuite('self_signed_tls_client_auth');
