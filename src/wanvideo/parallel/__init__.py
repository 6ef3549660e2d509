"""One video on several GPUs of a host: processes, one for each GPU, that compute it together."""
