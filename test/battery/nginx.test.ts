import { battery } from './battery.ts';
import { nginxProduct } from './nginx.ts';

battery(nginxProduct());
