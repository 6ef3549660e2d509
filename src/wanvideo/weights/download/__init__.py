"""From the Hugging Face hub to verified files in its cache. No torch."""
