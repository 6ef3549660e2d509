"""Pictures in, videos and stills out: files become arrays and arrays become files. No torch here."""
