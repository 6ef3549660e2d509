"""From a request to a video: the one place that joins models, sampling, weights, runtime and media."""
