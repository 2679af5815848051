"""What the chapters build, run and count: one module for each chapter, and what they share."""
