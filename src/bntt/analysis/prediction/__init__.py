"""What a network says of an image, step by step."""
