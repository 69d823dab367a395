"""The Beam edge: Pack, Step, and thin PTransforms over them."""
