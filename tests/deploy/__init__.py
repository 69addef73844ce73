"""Networks outside: what a description says, a bundle keeps and a runtime without PyTorch computes."""
