"""The ranking losses, the batches they see, and the loop that trains on them."""
