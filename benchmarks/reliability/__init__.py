"""Does the server keep its promises, whatever is done to it?"""
