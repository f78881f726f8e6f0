export type { ImageDirectory, ImageFile } from '../io/image-file.js';
