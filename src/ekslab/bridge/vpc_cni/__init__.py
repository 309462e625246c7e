"""The VPC CNI's address manager: pod addresses are secondary addresses of the instance's ENIs."""
