"""The networks: transformer, VAE and text encoder. `config` alone imports without torch."""
