/** The public face of @taktline/monitor. */
export { type HealthOptions, healthRoutes } from './health.ts';
