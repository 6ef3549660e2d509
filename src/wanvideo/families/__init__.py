"""Model families: what each has to offer, how they are found, and which of their models is used."""
