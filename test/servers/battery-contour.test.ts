import { battery } from '../battery/battery.ts';
import { contourProduct } from '../battery/contour.ts';

battery({ product: contourProduct });
