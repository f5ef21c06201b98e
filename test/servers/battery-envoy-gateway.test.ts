import { battery } from '../battery/battery.ts';
import { envoyGatewayProduct } from '../battery/envoy-gateway.ts';

battery({ product: envoyGatewayProduct });
