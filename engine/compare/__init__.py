"""What differs between two policies by what they mean, however they are written."""
