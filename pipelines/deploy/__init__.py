"""What runs the applications elsewhere: an image for workers, and a Flex Template."""
