import { battery } from '../battery/battery.ts';
import { envoyGatewayProduct } from '../battery/clusters.ts';

battery({ product: envoyGatewayProduct });
