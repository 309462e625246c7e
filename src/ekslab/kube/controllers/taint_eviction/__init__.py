"""Deletes pods from nodes whose NoExecute taints they do not bear, or not for so long."""
