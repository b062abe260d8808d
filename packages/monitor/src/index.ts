/** The public face of @taktline/monitor. */
export { type HealthOptions, healthRoutes } from './health.ts';
export { type Measured, type MetricsOptions, metricsRoutes } from './metrics.ts';
