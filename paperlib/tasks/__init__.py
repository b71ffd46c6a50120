"""What the command line does besides tables and figures: costs, lectures, exports, a sensitivity study, pretraining."""
