"""What the watermark withstands, what it costs, how it looks, and how often it errs."""
