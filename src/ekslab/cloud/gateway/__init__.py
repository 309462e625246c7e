"""What the door of the AWS endpoint knows: signatures, routes, policies, the words of refusals."""
